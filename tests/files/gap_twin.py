"""A level of the digital twin in Python: the band gap of mixed perovskites by Vegard's law with bowing.

Needs: pip install grpcio grpcio-tools. Serves ppu.twin.v1.TwinService:

    python gap_twin.py protos 127.0.0.1:7900

and is asked by a lab whose file says

    [[twin]]
    name = "gap_by_vegard"
    address = "127.0.0.1:7900"

Gaps of the lead halides and the bowing are textbook figures (Kulkarni et al., J. Mater. Chem. A 2, 9221, 2014); no lab was asked.
"""

import sys
from concurrent import futures

import grpc

sys.path.insert(0, sys.argv[1])
messages, services = grpc.protos_and_services("ppu/twin/v1/twin.proto")

IODIDE = {"cs": 1.73, "fa": 1.48, "ma": 1.57}
BROMIDE = {"cs": 2.36, "fa": 2.23, "ma": 2.29}
BOWING = 0.33


class GapTwin(services.TwinServiceServicer):
    def Describe(self, request, context):
        gap = messages.ObservableDescription(
            name="band_gap", unit="eV", residual_sd=0.03, offset_sd=0.05, correlation=0.8
        )
        return messages.DescribeResponse(model="gap by Vegard's law, version 1", observables=[gap])

    def Evaluate(self, request, context):
        return messages.EvaluateResponse(evaluations=[self.evaluate(point) for point in request.candidates])

    def evaluate(self, point):
        values = {value.name: value.number for value in point.values}
        missing = {"cs", "fa", "ma", "br"} - values.keys()
        if missing:
            return messages.Evaluation(refusal=f"no value of {', '.join(sorted(missing))}")
        br = values["br"]
        ends = [sum(values[cation] * gaps[cation] for cation in gaps) for gaps in (IODIDE, BROMIDE)]
        gap = ends[0] * (1 - br) + ends[1] * br - BOWING * br * (1 - br)
        return messages.Evaluation(predictions=[messages.Prediction(observable="band_gap", mean=gap)])


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    services.add_TwinServiceServicer_to_server(GapTwin(), server)
    port = server.add_insecure_port(sys.argv[2])
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


main()
