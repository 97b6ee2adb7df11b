"""New levels as they are published. A watcher looks for them and one hub gives them to everyone who listens."""
