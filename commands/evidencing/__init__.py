"""Evidence about one request: chapters that people read, rendered as HTML and PDF, in a zip with what proves them."""
