"""Questions asked of the stored index: store → aligned series → `analytics` → frozen results.

REST, the command line and Python call these functions and get these objects. No formula lives here, nothing is
written, and only the store is read: what is missing stays missing, with its reason in the result.
"""
