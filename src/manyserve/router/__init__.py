"""Router of a heterogeneous host: it follows the agents, and configures the Envoy beside it."""
