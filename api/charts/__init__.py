"""Charts of an index: series, a Vega-Lite specification, SVG and PNG made from it. No browser draws them."""
