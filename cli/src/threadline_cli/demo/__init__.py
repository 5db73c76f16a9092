"""`threadline demo`: a throw-away mail world, a scripted story, and a calm display of both."""
