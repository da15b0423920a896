"""From folders of images, or objects that are drawn, to batches of crops on the device."""
