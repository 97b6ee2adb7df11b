"""New levels as they are published: one hub for each application, read by server-sent events and WebSocket."""
