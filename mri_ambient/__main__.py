from mri_ambient.cli import main

main()
