"""The OCF resource agent `ec2vip`, which gives a floating private IP to one of two EC2 instances.

`ec2vip` is the program, `ocf` its face to Pacemaker, `rules` what each action does and why. `metadata`, `api`
and `ec2` reach AWS; `record` is what a node remembers, `cluster` what Corosync and Pacemaker
know; `outcome` has the codes and errors. Standard library only, Python 3.9 or later: docs/agent.md has the
reasons.
"""
