"""The tools around generated Triton source: loading, compiling without a GPU, interpreting."""
