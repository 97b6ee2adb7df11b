"""The index in other people's pages: iframe, badge, oEmbed and link previews. Nothing there needs a script."""
