"""The tabs of the page: components, and which function fills them. What the functions do is beside this folder."""
