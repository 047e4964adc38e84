"""Functions as torch operators: differentiable by torch's autograd to any order, and traceable.

In: a specialisation, and loaded arguments of which some are tensors. Out: tensors. Between: `dispatch.py`
chooses the way a call goes; `memory.py` is where torch and NumPy share memory; `operator.py` registers
what tracers record. What `torch.compile` reads stands outside, in `tdsl/runtime/torch_compile.py`. Every
derivative is a graph of ours.
"""
