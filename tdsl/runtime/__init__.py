"""Running compiled Functions: binding arguments, specialisation, the interpreter, torch."""
