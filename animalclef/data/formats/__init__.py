"""What other programs write and read: MegaDetector, COCO, Camtrap DP, Wildbook, capture histories."""
