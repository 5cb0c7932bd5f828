"""A package, so that its modules can import from this folder's own conftest and from no other."""
