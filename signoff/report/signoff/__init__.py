"""The sign-off page: what the story asks, and how each of it was judged."""
