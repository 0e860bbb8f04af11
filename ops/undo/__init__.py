"""How what a request applied can be taken back: the ways there are, each proven on a copy before anybody is asked."""
