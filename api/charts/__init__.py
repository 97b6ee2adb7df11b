"""Charts as Vega-Lite specifications, and as SVG and PNG made from them without a browser."""
