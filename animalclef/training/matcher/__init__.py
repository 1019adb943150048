"""Training of the matcher: a LightGlue on known warps of photographs."""
