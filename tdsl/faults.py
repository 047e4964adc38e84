"""The catalogue of mistakes: one row for each, from which errors are raised and `docs/errors.md` is made.

`E01xx` syntax, `E02xx` names, axes, dtypes and values, `E03xx` calls from Python, `E04xx` data and files,
`E05xx` backends, `E06xx` derivatives, `E07xx` the text form of the IR.
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
TOO_MUCH_WORK = Fault(
    "E0120",
    "value",
    "compiling this takes more than {limit} steps",
    "Loops are unrolled and calls inlined, so a short text can mean an enormous program.",
    "def f(x: f32) -> f32:\n    for i in range(1000):\n        for j in range(1000):\n            x = x + i * j\n    return x\n",
    "def f(x: f32) -> f32:\n    for i in range(10):\n        for j in range(10):\n            x = x + i * j\n    return x\n",
)
LONG_SIZE = Fault(
    "E0121",
    "value",
    "this size is longer than {limit} characters when it is multiplied out",
    "Sizes are compared as sums of products, and there is no end to how long these can be.",
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
UNKNOWN_NAME = Fault(
    "E0201",
    "name",
    "there is no `{name}` here",
    "A name is a variable, an axis, a constant, a function of the file or its imports, a built-in, or a function of the standard library.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x * rsqr(x)\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x * rsqrt(x)\n",
)
UNKNOWN_AXIS = Fault(
    "E0202",
    "name",
    "there is no axis `{name}` in scope",
    "Axes are named in the signature, and by `rename`, `unflatten`, `stack` and the like.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=K)\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n",
)
UNKNOWN_PACK = Fault(
    "E0203",
    "name",
    "there is no pack `*{name}` in scope",
    "A pack is bound by a parameter's type.",
    "def f(x: f32[*B, D]) -> f32[D]:\n    return sum(x, axis=(*C,))\n",
    "def f(x: f32[*B, D]) -> f32[D]:\n    return sum(x, axis=(*B,))\n",
)
UNKNOWN_DTYPE = Fault(
    "E0204",
    "name",
    "there is no dtype `{name}`",
    "The dtypes are bool, i8 to i64, u8 to u64, f16, bf16, f32 and f64; a capitalised name is a dtype variable.",
    "def f(x: float32[N]) -> f32[N]:\n    return x\n",
    "def f(x: f32[N]) -> f32[N]:\n    return x\n",
)
UNBOUND_DTYPE = Fault(
    "E0205",
    "name",
    "nothing binds the dtype variable `{name}`",
    "A dtype variable is bound by a parameter.",
    "def f(x: f32[N]) -> T[N]:\n    return x\n",
    "def f(x: T[N]) -> T[N]:\n    return x\n",
)
UNKNOWN_METHOD = Fault(
    "E0206",
    "name",
    "there is no function `{name}` to call as a method",
    "`x.f(...)` is `f(x, ...)` for any function in scope.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return x.view(N)\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return x.sum(axis=D)\n",
)
UNKNOWN_KEYWORD = Fault(
    "E0207",
    "type",
    "`{name}` has no parameter `{argument}`",
    "Keywords are the names of parameters.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, dim=D)\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n",
)
TOO_MANY_ARGUMENTS = Fault(
    "E0208",
    "type",
    "too many arguments for `{name}`",
    "Arguments are bound by position, then by keyword.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return exp(x, x)\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return exp(x)\n",
)
MISSING_ARGUMENT = Fault(
    "E0209",
    "type",
    "`{name}` needs the argument `{argument}`",
    "Parameters without a default must be given.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return maximum(x)\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return maximum(x, 0)\n",
)
ARGUMENT_TWICE = Fault(
    "E0210",
    "type",
    "`{argument}` is given twice to `{name}`",
    "An argument is given by position or by keyword.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, x=x)\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n",
)
NOT_A_VALUE = Fault(
    "E0211",
    "type",
    "{what} is needed here, not {found}",
    "Arrays and numbers are values; functions, strings and tuples are not.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x + exp\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x + exp(x)\n",
)
NOT_A_FUNCTION_VALUE = Fault(
    "E0212",
    "type",
    "a function is needed here, not {found}",
    "Functions are named, or made by `grad` and its kin.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x(y)\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x * exp(x)\n",
)
NOT_STATIC = Fault(
    "E0213",
    "value",
    "this must be known when the program is compiled",
    "`if`, `range` and static arguments choose what is compiled, so they cannot depend on data or sizes.",
    "def f(x: f32[N]) -> f32[N]:\n    if sum(x) > 0:\n        return x\n    return -x\n",
    "def f(x: f32[N]) -> f32[N]:\n    return where(sum(x) > 0, x, -x)\n",
)
NOT_A_SIZE = Fault(
    "E0214",
    "type",
    "this is not a size",
    "A size is made of axis names, integer parameters and integers with `+ - * // %`.",
    "def f(x: f32[N]) -> f32[2.5]:\n    return x\n",
    "def f(x: f32[N]) -> f32[N]:\n    return x\n",
)
NOT_ALIGNED = Fault(
    "E0215",
    "type",
    "the axes {axes} meet, and neither operand has them all",
    "Elementwise operations align by name, so no outer product happens by accident.",
    "def f(x: f32[N], y: f32[M]) -> f32[N, M]:\n    return x * y\n",
    "def f(x: f32[N], y: f32[M]) -> f32[N, M]:\n    z[N, M] = x * y\n    return z\n",
)
WRONG_AXES = Fault(
    "E0216",
    "type",
    "this has the axes {found}, not {expected}",
    "Axes are compared by name, whatever their order.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return x\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n",
)
AXIS_TWICE = Fault(
    "E0217",
    "type",
    "an axis would stand twice in {axes}",
    "No value has an axis twice.",
    "def f(x: f32[N, N]) -> f32[N, N]:\n    return x\n",
    "def f(x: f32[N, M]) -> f32[N, M]:\n    return x\n",
)
NO_SUCH_AXIS = Fault(
    "E0218",
    "type",
    "there is no axis `{axis}` in this value",
    "Operations along an axis need a value that has it.",
    "def f(x: f32[N], y: f32[M]) -> f32[N]:\n    return x + sum(x, axis=M)\n",
    "def f(x: f32[N], y: f32[M]) -> f32[N]:\n    return x + sum(x, axis=N)\n",
)
NOT_AN_AXIS = Fault(
    "E0219",
    "type",
    "`{name}` is a value, not an axis",
    "`axis=` takes a name, a position, a size expression, a pack, or a tuple of these.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=x)\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n",
)
ONE_AXIS = Fault(
    "E0220",
    "type",
    "one axis is needed here, not {count}",
    "This operation runs along a single axis.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return cumsum(x, axis=(N, D))\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return cumsum(x, axis=D)\n",
)
POSITION_OUT_OF_RANGE = Fault(
    "E0221",
    "value",
    "there is no axis at position {position} of {rank}",
    "Positions count from 0, or from the end with -1.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=2)\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=1)\n",
)
AXIS_MISMATCH = Fault(
    "E0222",
    "type",
    "the axis `{found}` meets `{expected}`",
    "An axis is its name or expression; two names are two axes, whatever their sizes.",
    "def g(x: f32[N], y: f32[N]) -> f32[N]:\n    return x + y\n\ndef f(x: f32[A], y: f32[B]) -> f32[A]:\n    return g(x, y)\n",
    "def g(x: f32[N], y: f32[N]) -> f32[N]:\n    return x + y\n\ndef f(x: f32[A], y: f32[A]) -> f32[A]:\n    return g(x, y)\n",
)
PACK_MISMATCH = Fault(
    "E0223",
    "type",
    "the pack `*{name}` is {a} here and {b} there",
    "A pack stands for the same axes at every use.",
    "def g(x: f32[*B], y: f32[*B]) -> f32[*B]:\n    return x + y\n\ndef f(x: f32[M, N], y: f32[N]) -> f32[M, N]:\n    return g(x, y)\n",
    "def g(x: f32[*B], y: f32[*B]) -> f32[*B]:\n    return x + y\n\ndef f(x: f32[M, N], y: f32[M, N]) -> f32[M, N]:\n    return g(x, y)\n",
)
TWO_PACKS = Fault(
    "E0224",
    "type",
    "a type has at most one pack",
    "With two, it is not known where one ends and the other begins.",
    "def g(x: f32[*A, *B]) -> f32[*A]:\n    return sum(x, axis=(*B,))\n\ndef f(x: f32[M, N]) -> f32[M]:\n    return g(x)\n",
    "def g(x: f32[*A, N]) -> f32[*A]:\n    return sum(x, axis=N)\n\ndef f(x: f32[M, N]) -> f32[M]:\n    return g(x)\n",
)
PACK_AS_VALUE = Fault(
    "E0225",
    "type",
    "the pack `{name}` is not a size",
    "A pack stands for several axes.",
    "def f(x: f32[*B]) -> f32[*B]:\n    return x * B\n",
    "def f(x: f32[*B]) -> f32[*B]:\n    return x * 2\n",
)
WRONG_RANK = Fault(
    "E0226",
    "type",
    "`{name}` is {expected}, and the argument is {found}",
    "Arguments are bound to axes by position.",
    "def g(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n\ndef f(x: f32[N]) -> f32[N]:\n    return g(x)\n",
    "def g(x: f32[N, D]) -> f32[N]:\n    return sum(x, axis=D)\n\ndef f(x: f32[N, D]) -> f32[N]:\n    return g(x)\n",
)
CANNOT_SOLVE = Fault(
    "E0227",
    "value",
    "the sizes in `{item}` do not follow from `{axis}`",
    "An equation is solved if it is linear in one name that is not known.",
    "def f(x: f32[N]) -> f32[A, B]:\n    return unflatten(x, axis=N, sizes=(A, B))\n",
    "def f(x: f32[N]) -> f32[A, 2]:\n    return unflatten(x, axis=N, sizes=(A, 2))\n",
)
SIZE_CONDITION = Fault(
    "E0228",
    "value",
    "{why}",
    "Conditions on sizes that are known are checked when the program is compiled.",
    "def f(x: f32[3]) -> f32[2]:\n    return x[:5]\n",
    "def f(x: f32[3]) -> f32[2]:\n    return x[:2]\n",
)
WRONG_DTYPE = Fault(
    "E0229",
    "type",
    "{use} needs {kind}, not {dtype}",
    "Functions of reals refuse integers and bools, so that no precision is lost silently.",
    "def f(x: i64[N]) -> i64[N]:\n    return exp(x)\n",
    "def f(x: i64[N]) -> f32[N]:\n    return exp(cast(x, f32))\n",
)
DTYPE_MISMATCH = Fault(
    "E0230",
    "type",
    "`{name}` is {expected}, and the argument is {found}",
    "Array dtypes are never converted by a call.",
    "def g(x: f32[N]) -> f32[N]:\n    return x\n\ndef f(x: f64[N]) -> f64[N]:\n    return g(x)\n",
    "def g(x: T[N]) -> T[N]:\n    return x\n\ndef f(x: f64[N]) -> f64[N]:\n    return g(x)\n",
)
NO_COMMON_DTYPE = Fault(
    "E0231",
    "type",
    "{a} and {b} have no common dtype",
    "u64 with a signed integer has none, as in the array API.",
    "def f(x: u64[N], y: i64[N]) -> i64[N]:\n    return x + y\n",
    "def f(x: u64[N], y: i64[N]) -> i64[N]:\n    return cast(x, i64) + y\n",
)
FRACTION_MEETS_INTEGERS = Fault(
    "E0232",
    "type",
    "a number with a fraction meets {dtype} values",
    "A weak float takes the dtype of the array it meets, which cannot hold it.",
    "def f(x: i64[N]) -> i64[N]:\n    return x * 0.5\n",
    "def f(x: i64[N]) -> f32[N]:\n    return cast(x, f32) * 0.5\n",
)
DOES_NOT_FIT = Fault(
    "E0233",
    "value",
    "{value} does not fit {dtype}",
    "A number takes the dtype of the array that it meets.",
    "def f(x: i8[N]) -> i8[N]:\n    return x + 300\n",
    "def f(x: i8[N]) -> i8[N]:\n    return x + 3\n",
)
NEEDS_CAST = Fault(
    "E0234",
    "type",
    "{where} is {wanted}, and this is {found}",
    "A return or typed local converts among floats only.",
    "def f(x: i64[N]) -> f32[N]:\n    return x\n",
    "def f(x: i64[N]) -> f32[N]:\n    return cast(x, f32)\n",
)
CONDITION_NOT_BOOL = Fault(
    "E0235",
    "type",
    "a condition must be bool, not {dtype}",
    "Nothing else has a truth value.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return where(y, x, 0)\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return where(y > 0, x, 0)\n",
)
CHAINED_COMPARISON = Fault(
    "E0236",
    "type",
    "a chain of comparisons is for static values",
    "On arrays each comparison stands alone.",
    "def f(x: f32[N]) -> bool[N]:\n    return 0 < x < 1\n",
    "def f(x: f32[N]) -> bool[N]:\n    return (0 < x) & (x < 1)\n",
)
IS_WITHOUT_NONE = Fault(
    "E0237",
    "type",
    "`is` compares with None only",
    "It asks whether an optional tensor was given.",
    "def f(x: f32[N]) -> f32[N]:\n    return x if x is 3 else -x\n",
    "def f(x: f32[N], y: f32[N] = None) -> f32[N]:\n    return x if y is None else -x\n",
)
MATMUL_RANK = Fault(
    "E0238",
    "type",
    "`@` needs axes on both sides, not {a} and {b}",
    "`@` contracts the last axis of the left side.",
    "def f(x: f32[N], s: f32) -> f32[N]:\n    return x @ s\n",
    "def f(x: f32[N], s: f32) -> f32[N]:\n    return x * s\n",
)
MATMUL_AXES = Fault(
    "E0239",
    "type",
    "`@` contracts `{left}` of {a} with `{right}` of {b}, which are two axes",
    "The last axis of the left side must be the last but one of the right side.",
    "def f(x: f32[N, K], w: f32[O, K]) -> f32[N, O]:\n    return x @ w\n",
    "def f(x: f32[N, K], w: f32[O, K]) -> f32[N, O]:\n    return x @ w.T\n",
)
BAD_EINSUM = Fault(
    "E0240",
    "value",
    "the equation does not fit the operands",
    "One word of letters for each operand, one letter for each axis, then `->` and the result's letters.",
    'def f(x: f32[N, D]) -> f32[N]:\n    return einsum("ijk->i", x)\n',
    'def f(x: f32[N, D]) -> f32[N]:\n    return einsum("ij->i", x)\n',
)
BAD_RENAME = Fault(
    "E0241",
    "type",
    "`rename` takes `old=new` or a dict",
    "Keys are axes or positions, values are the new names.",
    "def f(x: f32[N]) -> f32[N]:\n    return rename(x, 3)\n",
    "def f(x: f32[N], y: f32[M]) -> f32[M]:\n    return rename(x, N=M)\n",
)
CANNOT_RESHAPE = Fault(
    "E0242",
    "type",
    "{a} does not reshape to {b}",
    "Runs of axes on both sides must have provably equal products.",
    "def f(x: f32[N, D], y: f32[M]) -> f32[M]:\n    return reshape(x, M)\n",
    "def f(x: f32[N, D]) -> f32[N*D]:\n    return reshape(x, N*D)\n",
)
TOO_MANY_INDICES = Fault(
    "E0243",
    "type",
    "{count} indices for the axes {axes}",
    "Each index takes one axis, and `...` what is left.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return x[0, 0, 0]\n",
    "def f(x: f32[N, D]) -> f32[N]:\n    return x[:, 0]\n",
)
TENSOR_INDEX = Fault(
    "E0244",
    "type",
    "an index must be a size or an integer",
    "To read at indices held in an array, write `take(x, index, axis=V)`.",
    "def f(x: i64[N], w: f32[V]) -> f32[N]:\n    return w[x]\n",
    "def f(x: i64[N], w: f32[V]) -> f32[N]:\n    return take(w, x, axis=V)\n",
)
NEW_AXIS = Fault(
    "E0245",
    "type",
    "axes align by name, so no new axis is needed",
    "Drop the None: operands are aligned by the names of their axes.",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x * y[:, None]\n",
    "def f(x: f32[N, D], y: f32[N]) -> f32[N, D]:\n    return x * y\n",
)
BAD_STEP = Fault(
    "E0246",
    "value",
    "this step or count cannot be used",
    "A step is a non-zero integer, a reversed slice is `x[::-1]`, a number of parts is positive.",
    "def f(x: f32[N]) -> f32[N]:\n    return x[::0]\n",
    "def f(x: f32[N]) -> f32[N]:\n    return x[::-1]\n",
)
UNIT_SLICE = Fault(
    "E0247",
    "type",
    "a unit axis has one element: select it with `[0]`",
    "Slicing a unit axis changes nothing or empties it.",
    "def f(x: f32[N, 1]) -> f32[N, 1]:\n    return x[:, 1:]\n",
    "def f(x: f32[N, 1]) -> f32[N]:\n    return x[:, 0]\n",
)
NOT_A_UNIT = Fault(
    "E0248",
    "type",
    "there is no unit axis at position {position}",
    "`squeeze` drops axes of size 1 that the type spells as 1.",
    "def f(x: f32[N, D]) -> f32[N]:\n    return squeeze(x, axis=0)\n",
    "def f(x: f32[1, N]) -> f32[N]:\n    return squeeze(x, axis=0)\n",
)
NEEDS_MATRIX = Fault(
    "E0249",
    "type",
    "`{name}` needs two axes, not {axes}",
    "It works on the last two.",
    "def f(x: f32[N]) -> f32[N]:\n    return tril(x)\n",
    "def f(x: f32[N, M]) -> f32[N, M]:\n    return tril(x)\n",
)
BAD_ITEM = Fault(
    "E0250",
    "type",
    "a tuple of {count} takes one index in range",
    "Tuples are known when the program is compiled.",
    "def f(x: f32[N, 4]) -> f32[N, 2]:\n    a = split(x, 2, axis=1)\n    return a[5]\n",
    "def f(x: f32[N, 4]) -> f32[N, 2]:\n    a = split(x, 2, axis=1)\n    return a[1]\n",
)
BAD_TARGET = Fault(
    "E0251",
    "type",
    "this cannot be assigned to",
    "A target is a name, a tuple of names, or a name with its axes.",
    "def f(x: f32) -> f32:\n    x.y = 1\n    return x\n",
    "def f(x: f32) -> f32:\n    x = x + 1\n    return x\n",
)
SHADOWS_AXIS = Fault(
    "E0252",
    "name",
    "`{name}` is an axis, and cannot be a variable too",
    "A name means one thing throughout a function.",
    "def f(x: f32[N]) -> f32[N]:\n    N = 3\n    return x * N\n",
    "def f(x: f32[N]) -> f32[N]:\n    n = 3\n    return x * n\n",
)
WRONG_COUNT = Fault(
    "E0253",
    "value",
    "{expected} values are needed here, and there is {found}",
    "Tuples are taken apart item by item.",
    "def f(x: f32) -> (f32, f32):\n    return x\n",
    "def f(x: f32) -> (f32, f32):\n    return x, -x\n",
)
UNUSED_VALUE = Fault(
    "E0254",
    "value",
    "this value is not used",
    "An expression has no effect of its own.",
    "def f(x: f32) -> f32:\n    exp(x)\n    return x\n",
    "def f(x: f32) -> f32:\n    y = exp(x)\n    return y\n",
)
NESTED_FUNCTION = Fault(
    "E0255",
    "syntax",
    "functions stand side by side, not inside one another",
    "A function sees only its parameters and the file.",
    "def f(x: f32) -> f32:\n    def g(y: f32) -> f32:\n        return y\n    return g(x)\n",
    "def g(y: f32) -> f32:\n    return y\n\ndef f(x: f32) -> f32:\n    return g(x)\n",
)
NO_RETURN = Fault(
    "E0256",
    "value",
    "`{name}` ends without a return",
    "A function is the value that it returns.",
    "def f(x: f32) -> f32:\n    y = x\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
EMPTY_RETURN = Fault(
    "E0257",
    "value",
    "`return` needs a value",
    "A function is the value that it returns.",
    "def f(x: f32) -> f32:\n    return\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
NOT_A_RANGE = Fault(
    "E0258",
    "type",
    "`for` runs over `range` of integers known at compile time",
    "Such a loop is unrolled.",
    "def f(x: f32[N]) -> f32[N]:\n    for i in x:\n        x = x + i\n    return x\n",
    "def f(x: f32[N]) -> f32[N]:\n    for i in range(3):\n        x = x + i\n    return x\n",
)
AXIS_LOOP = Fault(
    "E0259",
    "type",
    "a loop over an axis is not available yet",
    "Loops with constant bounds are unrolled; running sums are `cumsum` and its kin.",
    "def f(x: f32[N]) -> f32[N]:\n    for t in range(N):\n        x = x + 1\n    return x\n",
    "def f(x: f32[N]) -> f32[N]:\n    return cumsum(x, axis=N)\n",
)
LOOP_TOO_LONG = Fault(
    "E0260",
    "value",
    "a loop of more than {limit} steps",
    "A loop with constant bounds is unrolled.",
    "def f(x: f32) -> f32:\n    for i in range(100000):\n        x = x + 1\n    return x\n",
    "def f(x: f32) -> f32:\n    for i in range(10):\n        x = x + 1\n    return x\n",
)
ASSERTION = Fault(
    "E0261",
    "value",
    "assertion failed: {message}",
    "A condition on static values is checked when the program is compiled.",
    'def f(x: f32, n: int = 0) -> f32:\n    assert n > 0, "n is positive"\n    return x * n\n',
    'def f(x: f32, n: int = 1) -> f32:\n    assert n > 0, "n is positive"\n    return x * n\n',
)
MISPLACED = Fault(
    "E0262",
    "syntax",
    "this may not stand here",
    "`...`, slices, dicts and stars belong in subscripts and arguments.",
    "def f(x: f32) -> f32:\n    return x + ...\n",
    "def f(x: f32) -> f32:\n    return x + 1\n",
)
RECURSION = Fault(
    "E0263",
    "value",
    "`{name}` calls itself",
    "Every call is inlined, so recursion has no end.",
    "def f(x: f32) -> f32:\n    return f(x - 1)\n",
    "def f(x: f32) -> f32:\n    return x - 1\n",
)
NOT_OPTIONAL = Fault(
    "E0264",
    "type",
    "`{name}` is not optional",
    "Only a tensor parameter with the default None takes None.",
    "def g(x: f32) -> f32:\n    return x\n\ndef f(x: f32) -> f32:\n    return g(None)\n",
    "def g(x: f32) -> f32:\n    return x\n\ndef f(x: f32) -> f32:\n    return g(x)\n",
)
WRONG_STATIC = Fault(
    "E0265",
    "type",
    "`{name}` is {wanted}, not {found}",
    "Static parameters are checked like tensors.",
    "def g(x: f32, n: int) -> f32:\n    return x * n\n\ndef f(x: f32) -> f32:\n    return g(x, n=0.5)\n",
    "def g(x: f32, n: int) -> f32:\n    return x * n\n\ndef f(x: f32) -> f32:\n    return g(x, n=2)\n",
)
MISSING_STATIC = Fault(
    "E0266",
    "type",
    "the static parameter `{name}` has no value",
    "It is given by keyword or position at the call, since the program depends on it.",
    "",
    "",
)
PARAMETER_TWICE = Fault(
    "E0267",
    "name",
    "the parameter `{name}` stands twice",
    "Parameters have different names.",
    "def f(x: f32, x: f32) -> f32:\n    return x\n",
    "def f(x: f32, y: f32) -> f32:\n    return x + y\n",
)
RESERVED_PARAMETER = Fault(
    "E0268",
    "name",
    "no parameter may be called `{name}`",
    "`lower` takes backend, target and grad itself.",
    "def f(grad: f32) -> f32:\n    return grad\n",
    "def f(g: f32) -> f32:\n    return g\n",
)
WRT_NOT_NAMES = Fault(
    "E0269",
    "type",
    "`wrt` takes a parameter's name as a string, or a tuple of names",
    "Parameters are not values where the derivative is taken.",
    "def f(x: f32) -> f32:\n    return x * x\n\ng = grad(f, wrt=1)\n",
    'def f(x: f32) -> f32:\n    return x * x\n\ng = grad(f, wrt="x")\n',
)
WRONG_COTANGENTS = Fault(
    "E0270",
    "type",
    "the number of cotangents is {found}, not {expected}",
    "`vjp(f)` takes the tensor arguments, then a cotangent for each floating result.",
    "def g(x: f32) -> f32:\n    return x * x\n\ndef f(x: f32) -> f32:\n    return vjp(g)(x)[0]\n",
    "def g(x: f32) -> f32:\n    return x * x\n\ndef f(x: f32) -> f32:\n    return vjp(g)(x, 1.0)[0]\n",
)
WRONG_VJP = Fault(
    "E0271",
    "type",
    "`{name}` does not fit as the derivative of {of}: {expected} expected, {found} found",
    "It takes tensor arguments, results, cotangents, and gives the gradient of every floating argument.",
    "@vjp_of(g)\ndef h(x: f32, y: f32) -> f32:\n    return y\n\ndef g(x: f32) -> f32:\n    return x\n\ndef f(x: f32) -> f32:\n    return g(x)\n",
    "@vjp_of(g)\ndef h(x: f32, y: f32, dy: f32) -> f32:\n    return dy\n\ndef g(x: f32) -> f32:\n    return x\n\ndef f(x: f32) -> f32:\n    return g(x)\n",
)
NO_SUCH_MODULE = Fault(
    "E0272",
    "name",
    "there is no module `{name}`",
    "Imports are looked up beside the file, then in the standard library.",
    "from nowhere import f\n",
    "from norms import rms_norm\n",
)
NO_SUCH_MEMBER = Fault(
    "E0273",
    "name",
    "`{module}` has no `{name}`",
    "Functions and constants can be imported.",
    "from norms import nothing\n",
    "from norms import rms_norm\n",
)
CIRCULAR_IMPORT = Fault(
    "E0274",
    "value",
    "the import of `{name}` goes round in a circle",
    "Files that need each other belong together.",
    "",
    "",
)
WRONG_DECORATOR = Fault(
    "E0275",
    "name",
    "the one decorator is `@vjp_of(f)`, of another function `f` of the same file",
    "Nothing else can stand above a function: a file is compiled, not run.",
    "@staticmethod\ndef f(x: f32) -> f32:\n    return x\n",
    "def f(x: f32) -> f32:\n    return x\n",
)
NESTED_IMPORT = Fault(
    "E0276",
    "syntax",
    "imports stand at the top of a file, not inside a function",
    "What a file names is known before any of its functions is read.",
    "def f(x: f32[D]) -> f32[D]:\n    from softmax import softmax as s\n    return s(x)\n",
    "from softmax import softmax as s\n\ndef f(x: f32[D]) -> f32[D]:\n    return s(x)\n",
)
FLATTEN_ONE = Fault(
    "E0277",
    "type",
    "`flatten` joins several axes",
    "A single position is torch's way to name the first axis of a run; here each axis is named.",
    "def f(x: f32[N, H, W]) -> f32[N, H*W]:\n    return flatten(x, 1)\n",
    "def f(x: f32[N, H, W]) -> f32[N, H*W]:\n    return flatten(x, axes=(H, W))\n",
)
STACK_AXIS = Fault(
    "E0281",
    "type",
    "the axis of {count} stacked values is not {axis}",
    "`stack` makes a new first axis, which is given a name or, as a size, the number of values.",
    "def f(x: f32[N], y: f32[N]) -> f32[K, N]:\n    return stack((x, y), axis=0)\n",
    "def f(x: f32[N], y: f32[N]) -> f32[K, N]:\n    return stack((x, y), axis=K)\n",
)
DEFINED_TWICE = Fault(
    "E0282",
    "name",
    "`{name}` is defined twice",
    "A file is not run from top to bottom, so no definition comes after another.",
    "C = 1\nC = 2\n",
    "C = 2\n",
)
BAD_DEFAULT = Fault(
    "E0283",
    "type",
    "the default of a tensor is None, or of rank 0 a number",
    "No array is known at the definition; `None` makes the parameter optional.",
    "def f(x: f32[N], y: f32[N] = 1.0) -> f32[N]:\n    return x + y\n",
    "def f(x: f32[N], y: f32 = 1.0) -> f32[N]:\n    return x + y\n",
)
UNBOUND_SIZE = Fault(
    "E0278",
    "name",
    "the size `{name}` does not follow from the parameters' shapes",
    "An axis of an argument gives the one name in which its expression is linear: `2*H + 1` does, `H*H` does not.",
    "def f(x: f32[N*M]) -> f32:\n    return sum(x)\n",
    "def f(x: f32[N*M], y: f32[N]) -> f32:\n    return sum(x) * N\n",
)
FOREIGN_VALUE = Fault(
    "E0279",
    "type",
    "`{name}` is a Python value of type `{found}`",
    "A jitted function sees numbers, strings and other tdsl functions of its file.",
    "",
    "",
)
BUILTIN_DERIVATIVE = Fault(
    "E0280",
    "type",
    "the built-in `{name}` has no parameters to differentiate with respect to",
    "Derivatives are taken of functions with a signature: write one around it.",
    "g = grad(exp)\n",
    "def e(x: f32) -> f32:\n    return exp(x)\n\ng = grad(e)\n",
)
NO_SUCH_FUNCTION = Fault(
    "E0301",
    "name",
    "{file} has no function `{name}`",
    "The name must be one that the file defines.",
    "",
    "",
)
SEVERAL_FUNCTIONS = Fault(
    "E0313",
    "name",
    "{file} has {count} functions",
    "A command that works on one function must be told which.",
    "",
    "",
)
UNREADABLE = Fault(
    "E0401",
    "value",
    "{file} cannot be read: {reason}",
    "The file must exist and hold UTF-8 text.",
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
    "`grad` needs a function with one floating rank-0 result; `{function}` gives {found}",
    "The gradient of a value with axes is a Jacobian; `vjp` multiplies it by a cotangent.",
    "def f(x: f32[N]) -> f32[N]:\n    return x * x\n\ng = grad(f)\n",
    "def f(x: f32[N]) -> f32:\n    return sum(x * x)\n\ng = grad(f)\n",
)


NOT_TENSOR = Fault(
    "E0302",
    "type",
    "`{name}` takes an array, not {found}",
    "NumPy arrays, torch tensors and anything with `__dlpack__` are arrays; rank-0 parameters also take numbers.",
    "",
    "",
)
CALL_RANK = Fault(
    "E0303",
    "value",
    "`{name}` is {expected}, and the argument has rank {found}",
    "Arguments are bound to axes by position.",
    "",
    "",
)
CALL_DTYPE = Fault(
    "E0304",
    "type",
    "`{name}` is {expected}, and the argument is {found}",
    "Array dtypes are never converted by a call.",
    "",
    "",
)
CALL_SIZE = Fault(
    "E0305",
    "value",
    "the axis `{axis}` of `{name}` has {found} elements, and {expected} {where}",
    "An axis has one size throughout a call.",
    "",
    "",
)
CALL_UNSOLVED = Fault(
    "E0306",
    "value",
    "the size `{axis}` does not follow from the arguments",
    "Each axis name is bound by an argument's shape.",
    "",
    "",
)
CALL_CHECK = Fault(
    "E0307",
    "value",
    "{message}",
    "A condition on sizes does not hold for these arguments.",
    "",
    "",
)
CALL_ARGUMENT = Fault(
    "E0308",
    "type",
    "{message}",
    "Arguments are bound by position, then by keyword, as in Python.",
    "",
    "",
)
CALL_DEVICE = Fault(
    "E0309",
    "value",
    "`{name}` lies on {device}: only the CPU has a backend",
    "Move it with `.cpu()`.",
    "",
    "",
)
NO_BACKEND = Fault(
    "E0310",
    "value",
    "`{backend}` is not available",
    "A pinned backend never falls back to another; `interpreter` is always there.",
    "",
    "",
)
BAD_SPEC = Fault(
    "E0311",
    "value",
    "`{text}` is not an argument specification",
    "A spec is a dtype and sizes: `bf16[8192, 4096]`, `i64[8192]`, `f32`.",
    "",
    "",
)
CALL_MIXED = Fault(
    "E0312",
    "type",
    "`{name}` is {found}, other arguments are {expected}",
    "All arrays of a call come from one library.",
    "",
    "",
)
INDEX_OUT_OF_RANGE = Fault(
    "E0402",
    "index",
    "the index {index} lies outside the axis `{axis}` of {size} elements{name}",
    "Outside the checked mode it reads 0 and scatters nothing.",
    "",
    "",
)
NOT_FINITE = Fault(
    "E0403",
    "value",
    "`{op}` makes a NaN or infinity out of finite values{name}",
    "The checked mode reports the first operation that does.",
    "",
    "",
)
IR_SYNTAX = Fault(
    "E0701",
    "syntax",
    "expected {expected}, found {found}",
    "The text is no text form of a function: `tdsl show --stage ir` prints how one looks.",
    "",
    "",
)
IR_TOO_DEEP = Fault(
    "E0702",
    "syntax",
    "brackets are nested more than {limit} deep",
    "The limit keeps a wrong text from filling the memory.",
    "",
    "",
)
IR_UNKNOWN = Fault(
    "E0703",
    "name",
    "no {kind} is called `{name}` here",
    "Values and functions stand before their uses, and dtype variables behind `where`.",
    "",
    "",
)
IR_TWICE = Fault(
    "E0704",
    "name",
    "`{name}` stands for something already",
    "Each name of a function stands for one value, and each attribute is given once.",
    "",
    "",
)
IR_NODE = Fault(
    "E0705",
    "type",
    "`{op}` does not take these operands and attributes: {reason}",
    "An operation's rule says which dtypes, axes and attributes fit.",
    "",
    "",
)
IR_TYPE = Fault(
    "E0706",
    "type",
    "the text says {stated}, the operation gives {inferred}",
    "The type of a line follows from its operands; it is written so that a reader sees it.",
    "",
    "",
)
IR_INVALID = Fault(
    "E0707",
    "type",
    "the function `{name}` is not valid: {rule}",
    "Parameters, axes and dtype variables of a function obey the rules that every pass relies on.",
    "",
    "",
)


def catalogue() -> dict[str, Fault]:
    """Every fault by its code, in order."""
    rows = [value for value in globals().values() if isinstance(value, Fault)]
    return {fault.code: fault for fault in sorted(rows, key=lambda fault: fault.code)}


UNWRITABLE = Fault(
    "E0404",
    "value",
    "{file} cannot be written: {reason}",
    "The folder must exist and allow it.",
    "",
    "",
)
DISAGREEMENT = Fault(
    "E0405",
    "value",
    "`{first}` and `{second}` disagree: {where} differs by {error:.1e}, and {limit:.0e} is allowed",
    "Nothing is timed before all variants give the same results, up to rounding.",
    "",
    "",
)
MISSING_PACKAGE = Fault(
    "E0451",
    "value",
    "{what} needs the package {package}",
    "What most people do not need is not installed with tdsl; the extras in its metadata name it.",
    "",
    "",
)
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
MISSING_TRITON = Fault(
    "E0501",
    "value",
    "generated kernels need Triton {needed} or later: {found}",
    "Triton compiles the kernels for GPUs; the extra `tdsl[triton]` installs it.",
    "",
    "",
)
NO_KERNELS = Fault(
    "E0504",
    "value",
    "there are no kernels without sizes",
    "Kernels are made for dtypes and sizes; without arguments a graph is generic.",
    "",
    "",
)
NO_EXPORT = Fault(
    "E0505",
    "value",
    "`{name}` cannot be exported: {reason}",
    "An exported file holds kernels alone, and its names are those of the source.",
    "",
    "",
)
UNKNOWN_TARGET = Fault(
    "E0502",
    "value",
    "there is no target `{target}`",
    "A target is an architecture of GPUs that kernels are compiled for.",
    "",
    "",
)
MISSING_TOOL = Fault(
    "E0503",
    "value",
    "the program `{tool}` is missing",
    "It reads registers and instructions of a kernel compiled for NVIDIA; Triton's wheels bring it along.",
    "",
    "",
)
BAD_SETTING = Fault(
    "E0506",
    "value",
    "the environment variable {variable} is `{value}`, which is not {wanted}",
    "Settings are read when the first call needs them; a wrong one is never passed over.",
    "",
    "",
)
