"""The study under the optimiser: what its plans are asked of a simulated station. The live station asks in `swap`."""
