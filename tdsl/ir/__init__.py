"""The intermediate representation: sizes, dtypes, nodes, Functions, and their text form.

`parse` reads the text form that `tdsl show --stage ir` prints.
"""

from tdsl.ir.reader import parse
from tdsl.ir.text import print_function
from tdsl.ir.verify import verify

__all__ = ["parse", "print_function", "verify"]
