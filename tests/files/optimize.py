"""Asks the optimizer for experiments and tells it their results. Usage: optimize.py HOST:PORT [RESULTS]"""
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, budget = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20

channel = grpc.insecure_channel(address)
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
service = pool.FindServiceByName("ppu.optimizer.v1.OptimizerService")


def call(method, **fields):
    """One call; requests and answers are plain dictionaries."""
    found = service.FindMethodByName(method)
    request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
    stub = channel.unary_unary(f"/{service.full_name}/{method}", request.SerializeToString, response.FromString)
    return json_format.MessageToDict(stub(json_format.ParseDict(fields, request())))


def measure(settings):
    """Stands for the laboratory: a film whose quality depends on a mixture, a temperature and a solvent."""
    value = {name: setting.get("number", setting.get("level")) for name, setting in settings.items()}
    mixture = (value["cs"] - 0.2) ** 2 + (value["ma"] - 0.1) ** 2
    return 1 - 4 * mixture - ((value["temperature"] - 130) / 80) ** 2 - (0.2 if value["solvent"] == "dmf" else 0)


def number(name, low, high, step):
    return dict(name=name, continuous=dict(min=low, max=high, step=step))


definition = dict(
    parameters=[
        number("cs", 0, 0.6, 0.01),
        number("ma", 0, 0.6, 0.01),
        number("fa", 0, 1, 0.01),
        number("temperature", 80, 200, 1),
        dict(name="solvent", categorical=dict(levels=[dict(name="dmf"), dict(name="dmso"), dict(name="gbl")])),
    ],
    constraints=[dict(name="whole", mixture=dict(parts=["cs", "ma", "fa"], total=1))],
    objectives=[dict(name="quality", aim="AIM_MAXIMIZE")],
    seed="7",
)
call("CreateStudy", name="films", definition=definition)
done = 0
while done < budget:
    for pick in call("Ask", name="films", count=2)["picks"]:
        readings = dict(quality=dict(values=[measure(pick["design"]["settings"])]))
        result = dict(id=pick["id"], design=pick["design"], outcome="OUTCOME_VALID", readings=readings)
        call("Tell", name="films", results=[result])
        done += 1
best = call("GetBest", name="films")["best"][0]
print("best", best["id"], json_format.json.dumps(best["design"]["settings"], sort_keys=True))
print("quality", round(measure(best["design"]["settings"]), 3))
print("why", call("Explain", name="films", design=best["design"])["reason"])
