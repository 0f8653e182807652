"""The studio: pictures aligned, and everything one does with a generator of faces once it is trained."""
