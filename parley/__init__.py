"""Where processes begin: the app, the transports, fan-out, the embedded stack and the command line."""
