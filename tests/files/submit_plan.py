"""Submits a protocol as a plan, watches it to its end and prints what was measured. Usage: submit_plan.py HOST:PORT FILE"""
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, path = sys.argv[1:3]
PARAMETERS = dict(cs=0.2, ma=0.05, fa=0.75, br=0.25, anneal_temperature_c=120, anneal_min=5)

channel = grpc.insecure_channel(address)
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
service = pool.FindServiceByName("ppu.lab.v1.LabService")


def method(name):
    """The method `name` of the service as (path, request class, response class)."""
    found = service.FindMethodByName(name)
    classes = [message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type)]
    return f"/{service.full_name}/{name}", *classes


def call(name, **fields):
    """One unary call."""
    path, request, response = method(name)
    stub = channel.unary_unary(path, request.SerializeToString, response.FromString)
    return stub(json_format.ParseDict(fields, request()))


def watch(after):
    """Events of the lab after a sequence."""
    path, request, response = method("Watch")
    return channel.unary_stream(path, request.SerializeToString, response.FromString)(request(after_seq=after))


text = open(path, encoding="utf-8").read()
wanted = [dict(name=name, number=value) for name, value in PARAMETERS.items() if f'name = "{name}"' in text]
run = call("SubmitPlan", protocolToml=text, file=path, parameters=wanted).run
print("submitted", run)
for event in watch(0):
    if event.run == run and event.kind in ("step_ended", "run_completed", "run_failed"):
        print(event.text)
        if event.kind.startswith("run_"):
            break
result = json_format.MessageToDict(call("GetRun", run=run).run)
print(result["state"])
for step in result["steps"]:
    for value in step.get("results", []):
        print(step["name"], value["name"], value["value"])
