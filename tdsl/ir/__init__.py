"""The intermediate representation: sizes, dtypes, nodes, Functions, and their text form."""
