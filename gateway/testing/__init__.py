"""Kit for testing gateways and adapters, ours and third parties'.

A virtual clock, a link without a network and one with mischief in it, a platform in memory and an embedded broker, a
simulated plant, and the conformance suite.
"""
