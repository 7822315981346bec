"""The rows of the table of endpoints, by area. `wire/endpoints.py` puts them together and finds one."""
