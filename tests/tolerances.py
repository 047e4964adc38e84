"""The one table of tolerances: relative and absolute, by dtype and by what is compared."""

TOLERANCES: dict[tuple[str, str], tuple[float, float]] = {
    ("f64", "value"): (1e-12, 1e-13),
    ("f64", "gradient"): (1e-10, 1e-11),
    ("f64", "second"): (1e-8, 1e-9),
    ("f32", "value"): (2e-5, 2e-6),
    ("f32", "gradient"): (2e-4, 2e-5),
    ("f16", "value"): (2e-3, 2e-3),
    ("bf16", "value"): (2e-2, 2e-2),
    ("f64", "difference"): (2e-5, 1e-6),
}
