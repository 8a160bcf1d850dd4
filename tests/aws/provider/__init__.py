"""A stand-in for the plug-in `pulumi-resource-aws`: the few types that the project uses, through boto3.

It talks to whatever `AWS_ENDPOINT_URL` names. It refuses, by name, whatever it does not implement.
"""
