"""Small Python functions that exported launchers call, each printed into the files that need it."""

from __future__ import annotations

HELPERS: dict[str, str] = {
    "_require": '''
def _require(condition, message):
    """Raise ValueError with the message, unless the condition holds."""
    if not condition:
        raise ValueError(message)
''',
    "_power_of_2": '''
def _power_of_2(count, least, most):
    """The smallest power of two that is not below the count, within bounds."""
    return min(max(triton.next_power_of_2(max(count, 1)), least), most)
''',
    "_programs": '''
def _programs(blocks, most, each, tiles, device):
    """How many programs walk so many blocks: `each` for a multiprocessor, and not more than `most`."""
    if device.type == "cuda":
        available = torch.cuda.get_device_properties(device).multi_processor_count
    else:
        available = 4
    return max(1, min(blocks, -(-each * available // max(tiles, 1)), most))
''',
    "_quotient": '''
def _quotient(a, b):
    """a / b as floats have it: infinite, or NaN, where b is 0."""
    if b:
        return a / b
    return float("nan") if a == 0 else float("inf") * a
''',
    "_on_device": '''
def _on_device(device):
    """The context in which kernels run on the device."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
''',
    "_error": '''
def _error(ours, theirs):
    """The largest difference, relative to the largest value; 0 where both are NaN."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    scale = theirs.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1e-3)
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    return torch.where(same, 0.0, (ours - theirs).abs() / scale).max().item()
''',
}
