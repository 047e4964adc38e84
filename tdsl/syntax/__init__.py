"""From source text to IR: parser, AST, formatter, elaboration."""
