"""One module an API, all of the same shape (`_base`)."""
