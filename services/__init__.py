"""All behaviour and I/O of Parley; knows nothing of GraphQL or HTTP."""
