"""Formulations that are faster than XLA's own on CPUs; `nn.dispatch` switches to them."""
