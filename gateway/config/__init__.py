"""Configuration: YAML to typed models, with errors that name file, line and column. Knows no adapter by name."""
