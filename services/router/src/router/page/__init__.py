"""The page at `/`: plain HTML, CSS and ES modules, shipped as they are written."""
