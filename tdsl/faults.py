"""The catalogue of mistakes: one row for each, from which errors are raised and `docs/errors.md` is made.

`E01xx` syntax, `E02xx` names, axes, dtypes and values, `E03xx` calls from Python, `E04xx` data and files,
`E06xx` derivatives, `E07xx` the text form of the IR.
"""

from __future__ import annotations

from tdsl.errors import Fault

FILE_TOO_LARGE = Fault(
    "E0101",
    "syntax",
    "the source is longer than {limit} characters",
    "A file is read whole; the limit keeps a wrong file name from filling the memory.",
    "",
    "",
)
BAD_CHARACTER = Fault(
    "E0102",
    "syntax",
    "the character {character} has no meaning here",
    "Outside strings and comments a program is written in ASCII.",
    "def f(x: f32) -> f32:\n    return x ? 2\n",
    "def f(x: f32) -> f32:\n    return x * 2\n",
)
UNCLOSED_STRING = Fault(
    "E0103",
    "syntax",
    "this string is never closed",
    "A string in single quotes ends on its line; one in triple quotes may go on.",
    'NAME = "softmax\n',
    'NAME = "softmax"\n',
)
UNCLOSED_BRACKET = Fault(
    "E0104",
    "syntax",
    "this `{bracket}` is never closed by a `{closer}`",
    "Every bracket needs its partner.",
    "def f(x: f32[N]) -> f32:\n    return sum(x, axis=N\n",
    "def f(x: f32[N]) -> f32:\n    return sum(x, axis=N)\n",
)
UNOPENED_BRACKET = Fault(
    "E0105",
    "syntax",
    "this `{bracket}` closes nothing",
    "Every bracket needs its partner.",
    "def f(x: f32) -> f32:\n    return x)\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
TAB_INDENT = Fault(
    "E0106",
    "syntax",
    "a tab in the indentation",
    "Blocks are indented with spaces: how wide a tab is, is a matter of taste.",
    "def f(x: f32) -> f32:\n\treturn x\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
BAD_DEDENT = Fault(
    "E0107",
    "syntax",
    "this indentation matches no block above",
    "A line belongs to the block whose indentation it has.",
    "def f(x: f32) -> f32:\n    y = x\n  return y\n",
    "def f(x: f32) -> f32:\n    y = x\n    return y\n",
)
UNEXPECTED_INDENT = Fault(
    "E0108",
    "syntax",
    "this line is indented, but no block begins here",
    "Only the lines after one that ends in `:` are indented further.",
    "def f(x: f32) -> f32:\n    y = x\n        return y\n",
    "def f(x: f32) -> f32:\n    y = x\n    return y\n",
)
EMPTY_BLOCK = Fault(
    "E0109",
    "syntax",
    "a block must follow this line",
    "A line that ends in `:` is followed by at least one indented statement.",
    "def f(x: f32) -> f32:\nreturn x\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
UNEXPECTED = Fault(
    "E0110",
    "syntax",
    "{found} may not stand here{expected}",
    "The text stops being a program at this place.",
    "def f(x: f32) -> f32\n    return x\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
FOREIGN = Fault(
    "E0111",
    "syntax",
    "`{word}` is Python's, not tdsl's",
    "The language has expressions, assignments, static `if`, `for`, `assert` and functions.",
    "def f(x: f32) -> f32:\n    while x:\n        x = x - 1\n    return x\n",
    "def f(x: f32) -> f32:\n    for i in range(3):\n        x = x - 1\n    return x\n",
)
TOO_DEEP = Fault(
    "E0112",
    "syntax",
    "nested more than {limit} deep",
    "The limit keeps every pass within bounded memory.",
    "",
    "",
)
POSITIONAL_AFTER_KEYWORD = Fault(
    "E0113",
    "syntax",
    "an argument by position after one by keyword",
    "Arguments by position come first, as in Python.",
    "def f(x: f32[N]) -> f32:\n    return sum(axis=N, x)\n",
    "def f(x: f32[N]) -> f32:\n    return sum(x, axis=N)\n",
)
NOT_A_TYPE = Fault(
    "E0114",
    "syntax",
    "this is not a type",
    "A type is a dtype, with axes in brackets if it has any: `f32`, `T[N, D]`, `i64[*B]`.",
    "def f(x: 3) -> f32:\n    return 1.0\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
UNTYPED_PARAMETER = Fault(
    "E0115",
    "syntax",
    "the parameter `{name}` has no type",
    "A parameter's type gives the names of its axes, which everything else follows from.",
    "def f(x) -> f32:\n    return x\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
NUMBER_TOO_LONG = Fault(
    "E0116", "syntax", "a number of more than 4000 digits", "Integers are 64-bit values.", "", ""
)
BAD_NUMBER = Fault(
    "E0117",
    "syntax",
    "`{text}` is not a number",
    "Digits may be parted by single underscores; a leading 0 is for 0x, 0b and 0o.",
    "N = 0x_\n",
    "N = 0x1F\n",
)
STRAY_STATEMENT = Fault(
    "E0118",
    "syntax",
    "only imports, constants and functions may stand outside a function",
    "A file is data: nothing in it runs when it is loaded.",
    "if True:\n    N = 1\n",
    "N = 1\n",
)
NOT_A_FUNCTION = Fault(
    "E0119",
    "syntax",
    "`tdsl.jit` needs the source of one Python function defined with `def`",
    "The function is read from its file, so a lambda or one made by `exec` has nothing to read.",
    "",
    "",
)
WRT_UNKNOWN = Fault(
    "E0601",
    "name",
    "`{function}` has no tensor parameter `{name}` to differentiate with respect to",
    "`wrt` names parameters of the function that is differentiated.",
    'def f(x: f32) -> f32:\n    return x * x\n\ng = grad(f, wrt="y")\n',
    'def f(x: f32) -> f32:\n    return x * x\n\ng = grad(f, wrt="x")\n',
)
WRT_NOT_FLOAT = Fault(
    "E0602",
    "type",
    "`{name}` has dtype {dtype}, which has no gradient",
    "Only floating values have gradients.",
    'def f(x: f32, n: i64) -> f32:\n    return x * cast(n, f32)\n\ng = grad(f, wrt="n")\n',
    'def f(x: f32, n: i64) -> f32:\n    return x * cast(n, f32)\n\ng = grad(f, wrt="x")\n',
)
NO_GRADIENT_PATH = Fault(
    "E0603",
    "value",
    "no gradient of `{function}` reaches `{name}`: {reason}",
    "A gradient that is zero whatever the data is nearly always a mistake, so it is not given silently.",
    'def f(x: f32) -> f32:\n    return floor(x)\n\ng = grad(f, wrt="x")\n',
    'def f(x: f32) -> f32:\n    return x * x\n\ng = grad(f, wrt="x")\n',
)
GRAD_NEEDS_SCALAR = Fault(
    "E0604",
    "type",
    "`grad` needs a function with one floating rank-0 result; `{function}` has {count} floating ones",
    "The gradient of a value with axes is a Jacobian; `vjp` multiplies it by a cotangent.",
    "def f(x: f32[N]) -> f32[N]:\n    return x * x\n\ng = grad(f)\n",
    "def f(x: f32[N]) -> f32:\n    return sum(x * x)\n\ng = grad(f)\n",
)


def catalogue() -> dict[str, Fault]:
    """Every fault by its code, in order."""
    rows = [value for value in globals().values() if isinstance(value, Fault)]
    return {fault.code: fault for fault in sorted(rows, key=lambda fault: fault.code)}
EMPTY_ARGMAX = Fault(
    "E0350",
    "index",
    "`{op}` over an axis of size 0 has no answer",
    "A sum over nothing is 0 and a maximum its identity, but there is no position to name.",
    "def f(x: f32[N, D]) -> i64[N]:\n    return argmax(x, axis=D)\n",
    "def f(x: f32[N, D]) -> i64[N]:\n    return argmax(x, axis=D)\n",
    call="x=f32[3, 0]",
    fixed_call="x=f32[3, 2]",
)
MISSING_BF16 = Fault(
    "E0450",
    "value",
    "bf16 values need the package ml_dtypes",
    "NumPy has no bf16; the extra `tdsl[bf16]` installs the package that adds it.",
    "",
    "",
)
