"""From AST to IR: names, axes and dtypes are resolved and checked here, and nowhere later."""
