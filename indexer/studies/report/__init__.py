"""A report: one self-contained page that tells a dated event from the stored data, with intervals and caveats.

Place in the flow: after the studies; gather → draw → sentences and tables → one HTML or PDF file.
"""
