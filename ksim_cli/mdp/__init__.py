"""The terms of a Markov decision process, each for one environment and one step."""
