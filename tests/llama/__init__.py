"""A real model server for tests: llama.cpp's own, in this process, with a tiny random model made on the spot."""
