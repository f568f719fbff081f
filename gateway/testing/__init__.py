"""Kit for testing gateways and adapters, ours and third parties': a simulated plant, an embedded broker."""
