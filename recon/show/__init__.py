"""What is shown of a result: file, panel, page, figures, notebooks, a reading study."""
