"""The OCF resource agent `ec2vip`, which gives a floating private IP to one of two EC2 instances.

`ec2vip` is the program that Pacemaker runs, `ocf` its OCF interface, and `rules` what each action does.
`metadata`, `api` and `ec2` reach AWS. `record` is what a node remembers. `cluster` asks Corosync and tells
Pacemaker. `outcome` has the exit codes and errors. The agent needs the standard library only, of Python 3.9
or later. docs/agent.md gives the reasons.
"""
