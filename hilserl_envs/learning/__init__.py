"""What turns demonstrations, corrections and experience into a policy; needs the `agent` extra.

Images: `encoder` makes the frozen networks that see (`efficientnet`, `resnet10`), `features`
crops, encodes and packs what they see.
"""
