"""A stand-in for the plug-in `pulumi-resource-aws`: the few types that the project uses, through boto3.

It talks to whatever `AWS_ENDPOINT_URL` names. What it does not implement it refuses by name.
"""
