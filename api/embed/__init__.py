"""The index in other people's pages: iframe, web component, badge, oEmbed and link previews."""
