"""The page that shows in a browser what a model hears, and what it is made of."""
