"""Train the segmenter on photographs with masks, rendered ones or one's own."""
