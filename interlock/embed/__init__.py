"""The Python face: `Engine`, its handles, and the cloud description. `from interlock import …` is the way in."""
